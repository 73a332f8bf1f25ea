# The texts and the merges of the Hugging Face library's BpeTrainer on them: pip install tokenizers, then run it here.
import json,random
from tokenizers import Tokenizer,models,trainers,pre_tokenizers,Regex
random.seed(5)
L=r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
stems="expert router gate top load balance stream head dim tensor shard über naïve façade Größe 模型 専門家 эксперт маршрут aaaa aaaaaaa banana Mississippi can't we're I'll 2026 1234567 0.001 == -> <|x|> \t\t \r\n .... ------ 🙂🙂".split(" ")
docs=[]
for _ in range(60):
    docs.append(" ".join(random.choice(stems)+random.choice(["","s","ed","ing","'s","\n","\r\n","  ","!"]) for _ in range(40)))
def train(kind,size,minf):
    t=Tokenizer(models.BPE())
    B=pre_tokenizers.ByteLevel
    t.pre_tokenizer= B(add_prefix_space=False) if kind=='gpt2' else pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(L if kind=='llama3' else L.replace('{1,3}','')),'isolated'),B(add_prefix_space=False,use_regex=False)])
    t.train_from_iterator(docs,trainers.BpeTrainer(vocab_size=size,min_frequency=minf,special_tokens=['<|endoftext|>','<|pad|>'],initial_alphabet=B.alphabet(),show_progress=False))
    m=json.loads(t.to_str())['model']
    return m
import os
d='.'
open(d+'/text.jsonl','w').write(''.join(json.dumps({"text":x},ensure_ascii=False)+'\n' for x in docs))
out={}
for k in ['gpt2','llama3','qwen2']:
    m=train(k,520,3); out[k]=m['merges']; print(k,len(m['vocab']),len(m['merges']))
    m2=train(k,100000,2); out[k+'-all']=m2['merges']; print(len(m2['vocab']),len(m2['merges']))
json.dump(out,open(d+'/merges.json','w'),ensure_ascii=False)
